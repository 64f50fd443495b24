"""Speculative decoding: who drafts, what is accepted, which passes run, and what an answer costs."""
