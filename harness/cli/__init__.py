"""The command line: verbs, listings and checks of the machine."""
