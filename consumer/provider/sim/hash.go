package sim

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// hash is the same in every process, unlike hash/maphash, and takes eight bytes at a time.
func hash[T string | []byte](seed uint64, s T) uint64 {
	const prime = 0x9E3779B97F4A7C15
	h := seed ^ uint64(len(s))*prime
	b := []byte(s)
	for len(b) >= 8 {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*prime, 29)
		b = b[8:]
	}
	for _, c := range b {
		h = bits.RotateLeft64((h^uint64(c))*prime, 11)
	}
	return mix(h)
}

// mix is the end of splitmix64: all bits of x reach all bits of the result.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// draw is the nth of the numbers that start from seed.
func draw(seed uint64, nth int) uint64 { return mix(seed + uint64(max(nth, 0))) }

// unit maps x to [0,1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// appendHex writes x in 16 digits.
func appendHex(b []byte, x uint64) []byte {
	for shift := 60; shift > 0 && x>>shift == 0; shift -= 4 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, x, 16)
}
