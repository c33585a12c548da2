package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// assigned starts a worker for each partition that this member is given.
func (sub *subscription) assigned(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.closing {
		return
	}
	for topic, numbers := range given {
		for _, n := range numbers {
			at := place{topic, n}
			if sub.partitions[at] != nil {
				continue
			}
			p := newPartition(sub, at)
			sub.partitions[at] = p
			sub.workers.Go(p.work)
		}
	}
	sub.share()
}

// share divides the memory for queued records among the partitions.
func (sub *subscription) share() {
	for _, p := range sub.partitions {
		p.room.Store(int64(max(queueBytes/len(sub.partitions), minQueueBytes)))
	}
}

// revoked hands partitions over in order: the deliveries that run return, what
// they acknowledged is committed, and only then another member may start.
func (sub *subscription) revoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	gone := sub.take(taken)
	sub.await(gone)
	sub.committing.Lock()
	defer sub.committing.Unlock()
	sub.commit(drop(gone))
}

// lost is called where the cluster has given the partitions to others already:
// a commit would come too late.
func (sub *subscription) lost(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	gone := sub.take(taken)
	sub.await(gone)
	drop(gone)
}

func (sub *subscription) take(taken map[string][]int32) []*partition {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	var gone []*partition
	for topic, numbers := range taken {
		for _, n := range numbers {
			at := place{topic, n}
			if p := sub.partitions[at]; p != nil {
				delete(sub.partitions, at)
				gone = append(gone, p)
				p.cancel()
			}
		}
	}
	sub.share()
	return gone
}

// await waits for the workers of partitions, but not for ever.
func (sub *subscription) await(gone []*partition) {
	patience := time.NewTimer(handOverPatience)
	defer patience.Stop()
	for _, p := range gone {
		select {
		case <-p.ended:
		case <-patience.C:
			sub.b.config.Logger.Warn("a Kafka partition was taken away while a handler runs that ignores its context; another member starts beside it",
				"channel", p.topic, "partition", p.n)
			return
		}
	}
}

// cancelAll ends all deliveries; partitions stay, to be committed.
func (sub *subscription) cancelAll() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.closing = true
	for _, p := range sub.partitions {
		p.cancel()
	}
}
