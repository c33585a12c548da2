package kafka

import (
	"bytes"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lz4Frames compresses batches into frames as Kafka's own producer writes them:
// blocks of 64 KiB and no checksum of the content, as the batch has one. The
// client library's compressor has blocks of 4 MiB, which cost 12 MiB of memory for
// a ratio that is the same to a hundredth, and twice the time.
type lz4Frames struct {
	writers sync.Pool // of *lz4.Writer
}

var _ kgo.Compressor = (*lz4Frames)(nil)

// minCompressed is what is worth compressing: below, a batch becomes hardly smaller
// or even larger, and both sides take longer.
const minCompressed = 1 << 10

// Compress implements kgo.Compressor.
func (f *lz4Frames) Compress(dst *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	if len(src) < minCompressed {
		return src, kgo.CodecNone
	}
	w, ok := f.writers.Get().(*lz4.Writer)
	if !ok {
		w = lz4.NewWriter(nil)
		// The options are constants that the package knows.
		_ = w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false))
	}
	defer f.writers.Put(w)
	w.Reset(dst)
	if _, err := w.Write(src); err != nil {
		return src, kgo.CodecNone
	}
	if err := w.Close(); err != nil {
		return src, kgo.CodecNone
	}
	return dst.Bytes(), kgo.CodecLz4
}
