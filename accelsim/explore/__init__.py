"""Many simulations: the points of a design space and what each of them costs."""
