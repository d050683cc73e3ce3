"""What every step does with its elements: coders, lists of work, places, dropped rows, counters."""
