"""The compiled executor against graphql-core's: the same operations over the same data, and the same answers."""
