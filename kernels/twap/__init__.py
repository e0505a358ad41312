"""Time-weighted averages of prices, in integers: over a whole history at once (`averages`), and
the logarithms (`fixed`) of which geometric means are made."""
