"""Messages to people: what happened, a durable outbox, and the channels that carry it."""
