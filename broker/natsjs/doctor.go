package natsjs

import (
	"context"

	"tidings.example/admin"
)

func (b *Broker) Doctor(ctx context.Context) []admin.Finding { return nil }
