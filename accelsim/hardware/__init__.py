"""Hardware blocks: what each action of each part costs, how big it is, what it leaks, how long it takes."""
