package main

import "bytes"

// counter counts a marker in a stream of bytes, also where two reads share it.
type counter struct {
	marker []byte
	tail   []byte
}

func (c *counter) count(data []byte) int {
	found := bytes.Count(data, c.marker)
	keep := len(c.marker) - 1
	seam := append(c.tail, data[:min(keep, len(data))]...)
	found += bytes.Count(seam, c.marker)
	if len(data) >= keep {
		c.tail = append(c.tail[:0], data[len(data)-keep:]...)
	} else {
		c.tail = append([]byte{}, seam[max(0, len(seam)-keep):]...)
	}
	return found
}
