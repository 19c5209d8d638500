"""A package as a third party would write it: one extension of each kind, on toys whose answers are known in closed form."""
