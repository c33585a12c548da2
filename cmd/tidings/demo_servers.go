package main

import (
	"cmp"

	"tidings.example/internal/connect"
)

func (s *demoSettings) checkStore() error {
	if s.storeURL == "" {
		s.store.value = cmp.Or(s.store.value, "sqlite")
		if s.store.value != "sqlite" {
			return usagef("--store %s needs --store-url, such as %s://user:password@127.0.0.1, or TIDINGS_DEMO_STORE_URL", s.store.value, s.store.value)
		}
		return nil
	}
	kind, err := connect.DatabaseKind(s.storeURL)
	if err != nil {
		return err
	}
	if kind == "sqlite" {
		return usagef("--store-url is not for SQLite: the demo keeps its files in --dir")
	}
	if s.store.value = cmp.Or(s.store.value, kind); s.store.value != kind {
		return usagef("--store is %s, but --store-url is for %s", s.store.value, kind)
	}
	return nil
}

func (s *demoSettings) checkBroker() error {
	if s.brokerURL == "" {
		s.broker.value = cmp.Or(s.broker.value, "nats")
		if s.broker.value != "nats" {
			return usagef("--broker kafka needs --broker-url, such as kafka://127.0.0.1:9092, or TIDINGS_DEMO_BROKER_URL")
		}
		return nil
	}
	kind, err := connect.BrokerKind(s.brokerURL)
	if err != nil {
		return err
	}
	if s.broker.value = cmp.Or(s.broker.value, kind); s.broker.value != kind {
		return usagef("--broker is %s, but --broker-url is for %s", s.broker.value, kind)
	}
	return nil
}

// ownNATS tells whether the NATS server is the demo's own.
func (s *demoSettings) ownNATS() bool { return s.broker.value == "nats" && s.brokerURL == "" }

// channelPrefix begins the names on the broker. A server of the demo's own needs none.
func (s *demoSettings) channelPrefix() string {
	if s.ownNATS() {
		return ""
	}
	return s.prefix + "_"
}
