// Package interop checks the wire format against the CloudEvents project's own
// Go SDK: what Tidings sends is read with the SDK's bindings for Kafka and NATS,
// and the reverse. It is a module of its own, so that nobody else depends on the SDK.
package interop
