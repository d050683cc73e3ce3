"""One module a command of the command line: it checks, runs the steps, and says what came of it."""
