package tidings

// DefaultLanes is the number of lanes per source and channel. It is a multiple
// of the usual partition counts (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24,
// 30, 32, 40, 48, 60, 64, 80, 96, 120 ...), so that with any of those a lane
// lies inside one partition.
const DefaultLanes = 960

// LaneOf returns the lane, from 0 to lanes-1, of an ordering key. The hash is
// the one that Kafka's default partitioner uses (murmur2 of the key's bytes,
// sign bit cleared), so a partition count that divides lanes sends a whole lane
// to one partition.
func LaneOf(orderingKey string, lanes int) int {
	return int(PositiveHash(orderingKey)) % lanes
}

// PositiveHash is Kafka's toPositive(murmur2(key)); modulo the number of
// partitions it is the partition that Kafka's own producers choose.
func PositiveHash(key string) uint32 {
	return murmur2(key) & 0x7fffffff
}

// murmur2 is the 32-bit MurmurHash2 with the seed that Kafka uses
// (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(key string) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(key))
	for len(key) >= 4 {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
