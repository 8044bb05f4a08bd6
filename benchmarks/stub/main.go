// Command stub is a venue that answers every order at once with "executed" and does nothing else: what load generators
// are measured against. One thread, one epoll, no allocation on the way of a message.
//
// It prints its ports as one JSON line and ends when its standard input is closed.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

func main() {
	stallAt := flag.Duration("stall-at", 0, "begin of the stall, counted from the first order")
	stallFor := flag.Duration("stall-for", 0, "length of the stall: orders are read and not answered; 0: no stall")
	stallLog := flag.String("stall-log", "", "file for begin and end of the stall, ns of CLOCK_MONOTONIC")
	flag.Parse()

	debug.SetGCPercent(400)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	s := newServer(stall{at: stallAt.Nanoseconds(), length: stallFor.Nanoseconds(), log: *stallLog})
	ports := make(map[string]int)
	for name, speak := range map[string]protocol{"ws": webSocket, "binary": binaryOrders, "rest": rest} {
		port, err := s.listen(speak)
		if err != nil {
			fail(err)
		}
		ports[name] = port
	}
	fmt.Printf("{\"ws\":%d,\"binary\":%d,\"rest\":%d}\n", ports["ws"], ports["binary"], ports["rest"])
	fail(s.serve())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "stub:", err)
	os.Exit(1)
}
