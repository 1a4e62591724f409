"""The counters behind rate limits and query cost: in this process, or in a Redis that several processes share."""
