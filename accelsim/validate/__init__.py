"""Our numbers beside those of other simulators, of silicon, and of slow references."""
