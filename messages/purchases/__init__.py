"""Purchases: what a buyer pays for, from the first step to the goods, or to the money back."""
