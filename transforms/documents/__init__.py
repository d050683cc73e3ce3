"""What every step does with its elements: coders, lists of work, shuffle keys, dropped rows, counters."""
