"""Published claims, computed from first principles and then compared."""
