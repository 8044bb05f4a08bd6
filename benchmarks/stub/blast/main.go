// Command blast sends one request over and over on several connections, as fast as the answers allow.
//
// Usage: blast HOST:PORT CONNECTIONS DEPTH SECONDS, the bytes of a greeting and of a request on standard input as JSON
// {"greeting": base64, "request": base64, "marker": base64}. DEPTH requests are under way on each connection.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type plan struct {
	Greeting []byte `json:"greeting"`
	Request  []byte `json:"request"`
	Marker   []byte `json:"marker"` // stands once in each answer
}

func main() {
	var p plan
	check(json.NewDecoder(os.Stdin).Decode(&p))
	connections, err := strconv.Atoi(os.Args[2])
	check(err)
	depth, err := strconv.Atoi(os.Args[3])
	check(err)
	seconds, err := strconv.ParseFloat(os.Args[4], 64)
	check(err)

	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var answered atomic.Int64
	var all sync.WaitGroup
	for range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			answered.Add(blast(os.Args[1], p, depth, until))
		}()
	}
	all.Wait()
	fmt.Printf("{\"answered\":%d}\n", answered.Load())
}

// blast keeps `depth` requests under way on one connection; returns how many were answered.
func blast(address string, p plan, depth int, until time.Time) int64 {
	connection, err := net.Dial("tcp", address)
	check(err)
	defer connection.Close()
	buffer := make([]byte, 1<<18)
	if len(p.Greeting) > 0 {
		_, err = connection.Write(p.Greeting)
		check(err)
		_, err = connection.Read(buffer)
		check(err)
	}
	block := make([]byte, 0, depth*len(p.Request))
	for range depth {
		block = append(block, p.Request...)
	}
	counter := counter{marker: p.Marker}
	total := int64(0)
	for time.Now().Before(until) {
		_, err = connection.Write(block)
		check(err)
		for waiting := depth; waiting > 0; {
			n, err := connection.Read(buffer)
			if err == io.EOF {
				return total
			}
			check(err)
			found := counter.count(buffer[:n])
			waiting -= found
			total += int64(found)
		}
	}
	return total
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "blast:", err)
		os.Exit(1)
	}
}
