"""Rewards: the formula, pools that pay by schedule, daily limits, payouts of what accrued."""
