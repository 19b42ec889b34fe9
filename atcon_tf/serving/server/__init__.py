"""The reference server: REST, gRPC and a demo page, on TensorFlow alone."""
