"""The ReRAM-on-logic LLM chip (ISSCC 2026, 31.1): what is published beside what comes out of the simulator."""
