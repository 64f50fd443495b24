"""Look-up tables for non-linear functions (GQA-LUT, DAC 2024), searched exactly or by the published method."""
