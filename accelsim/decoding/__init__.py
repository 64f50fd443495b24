"""Speculative decoding: what passes of a draft and a target model cost, and what a policy makes of them."""
