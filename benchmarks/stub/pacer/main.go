// Command pacer sends recorded requests in the way that GoReplay's file input paces them: it sleeps the difference to
// the record before, then hands the record on, and never looks at the clock. What each sleep is too long adds up.
//
// Usage: pacer HOST:PORT, int64 little-endian offsets in ns on standard input. Each record is sent as one GET over
// keep-alive HTTP, by ten workers behind a queue of 1,000. Prints when the records were handed on and when the last was
// sent, ns since the first.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	workers = 10
	queue   = 1000
)

func main() {
	data, err := io.ReadAll(os.Stdin)
	check(err)
	offsets := make([]int64, len(data)/8)
	for i := range offsets {
		offsets[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	records := make(chan int64, queue)
	var all sync.WaitGroup
	for range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			work(os.Args[1], records)
		}()
	}
	started := time.Now()
	last := int64(-1)
	for _, offset := range offsets {
		if last >= 0 {
			time.Sleep(time.Duration(offset - last))
		}
		last = offset
		records <- offset
	}
	handed := time.Since(started)
	close(records)
	all.Wait()
	span := offsets[len(offsets)-1] - offsets[0]
	fmt.Printf("{\"records\":%d,\"span_ns\":%d,\"took_ns\":%d}\n", len(offsets), span, handed.Nanoseconds())
}

// work sends one request a record and reads its answer.
func work(address string, records <-chan int64) {
	connection, err := net.Dial("tcp", address)
	check(err)
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for range records {
		_, err := connection.Write([]byte("GET / HTTP/1.1\r\nHost: stub\r\n\r\n"))
		check(err)
		check(discard(reader))
	}
}

// discard reads one response of the stub: a head, and a body that ends with a brace.
func discard(reader *bufio.Reader) error {
	_, err := reader.ReadBytes('}')
	return err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pacer:", err)
		os.Exit(1)
	}
}
