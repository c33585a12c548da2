package kafka

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// What is compressed can be read by the client library, in any order of sizes.
func TestCompress(t *testing.T) {
	t.Parallel()
	f, reader := &lz4Frames{}, kgo.DefaultDecompressor()
	var dst bytes.Buffer
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "piece")
		src := bytes.Repeat(piece, rapid.IntRange(1, 200).Draw(t, "times"))
		dst.Reset()
		out, codec := f.Compress(&dst, src)
		if small := len(src) < minCompressed; small != (codec == kgo.CodecNone) || codec != kgo.CodecNone && codec != kgo.CodecLz4 {
			t.Fatalf("%d bytes were compressed with codec %d", len(src), codec)
		}
		got, err := reader.Decompress(out, codec)
		if err != nil || !bytes.Equal(got, src) {
			t.Fatalf("%d bytes became %d, error %v", len(src), len(got), err)
		}
	})
}

// BenchmarkCompress compresses a batch of 500 records of about 500 bytes.
func BenchmarkCompress(b *testing.B) {
	var src []byte
	seed := uint32(1)
	for range 500 {
		src = append(src, "ce_specversion 1.0 ce_id ce_source ce_type content-type application/json ce_partitionkey ce_epoch ce_lane ce_sequence 0000000000000000000"...)
		for range 350 {
			seed = seed*1664525 + 1013904223
			src = append(src, "abcdefghijklmnopqrstuvwxyz012345"[seed>>27])
		}
	}
	library, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]kgo.Compressor{"ours": &lz4Frames{}, "library": library} {
		b.Run(name, func(b *testing.B) {
			var dst bytes.Buffer
			size := 0
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				dst.Reset()
				out, _ := c.Compress(&dst, src)
				size = len(out)
			}
			b.ReportMetric(float64(size)/float64(len(src)), "ratio")
		})
	}
}
