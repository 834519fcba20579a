"""From appended to durable: batches of whole units, and the one seam through which they are committed."""
