package main

import (
	"fmt"
	"os"
)

// stall is the time during which orders are read and not answered; times are ns of CLOCK_MONOTONIC.
type stall struct {
	at, length int64
	log        string
	first      int64 // when the first order came; 0: not yet
	on, over   bool
	begin, end int64
}

// turn begins or ends the stall; true when it has just ended.
func (st *stall) turn(now int64) bool {
	if st.length == 0 || st.over || st.first == 0 {
		return false
	}
	if !st.on {
		if now >= st.first+st.at {
			st.on, st.begin = true, now
		}
		return false
	}
	if now < st.begin+st.length {
		return false
	}
	st.on, st.over, st.end = false, true, now
	st.write()
	return true
}

// waitMs is how long the server may sleep, in ms as epoll has it.
func (st *stall) waitMs(now int64) int {
	switch {
	case st.length == 0 || st.over || st.first == 0:
		return -1
	case st.on:
		return max(0, int((st.begin+st.length-now+999_999)/1_000_000))
	default:
		return max(0, int((st.first+st.at-now+999_999)/1_000_000))
	}
}

func (st *stall) write() {
	if st.log == "" {
		return
	}
	text := fmt.Sprintf("{\"first_ns\":%d,\"begin_ns\":%d,\"end_ns\":%d}\n", st.first, st.begin, st.end)
	if err := os.WriteFile(st.log, []byte(text), 0o644); err != nil {
		fail(err)
	}
}
