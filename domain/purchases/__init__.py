"""A purchase: goods, money and the way between them, step by step."""
