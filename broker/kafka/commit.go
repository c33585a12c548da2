package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// commitInterval bounds how much is delivered again after a crash. Inboxes
	// know the repeated ones; a shorter interval would only load the cluster.
	commitInterval = 500 * time.Millisecond
	commitTimeout  = 10 * time.Second
)

// commitRegularly stores positions until stop is closed.
func (sub *subscription) commitRegularly(stop <-chan struct{}) {
	ticker := time.NewTicker(commitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			sub.committing.Lock()
			sub.commit(sub.held())
			sub.committing.Unlock()
		case <-stop:
			return
		}
	}
}

// commitLast stores the last positions, once no delivery runs any more, until
// no acknowledgement came in between.
func (sub *subscription) commitLast() {
	sub.committing.Lock()
	defer sub.committing.Unlock()
	sub.commit(sub.held())
	sub.mu.Lock()
	var last []*partition
	for at, p := range sub.partitions {
		delete(sub.partitions, at)
		last = append(last, p)
	}
	sub.mu.Unlock()
	sub.commit(drop(last))
}

func (sub *subscription) held() []*partition {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	held := make([]*partition, 0, len(sub.partitions))
	for _, p := range sub.partitions {
		held = append(held, p)
	}
	return held
}

// commit stores the positions of partitions whose position has moved. It is
// called with committing held. A failure is no harm: the positions are stored
// by the next commit, or the messages delivered again.
func (sub *subscription) commit(partitions []*partition) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	moved := map[*partition]uint64{}
	for _, p := range partitions {
		position, ok := p.acks.Position()
		if !ok || position == p.committed {
			continue
		}
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.topic][p.n] = kgo.EpochOffset{Epoch: -1, Offset: int64(position)}
		moved[p] = position
	}
	if len(moved) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var failure error
	sub.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failure = commitError(answer, err)
	})
	if failure == nil {
		for p, position := range moved {
			p.committed = position
		}
		return
	}
	if !errors.Is(failure, kerr.RebalanceInProgress) {
		sub.b.config.Logger.Warn("store positions in Kafka; messages may be delivered again", "err", failure)
	}
}

func commitError(answer *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || answer == nil {
		return err
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
