"""What the gateway says of itself and of the executor: OpenAPI and metrics."""
