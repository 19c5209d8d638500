"""Measurements that stay in the repository; ``make bench`` prints them all."""
