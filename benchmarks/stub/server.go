package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

const (
	readSize = 1 << 20
	unread   = 8 << 20 // a client that leaves so many bytes of answers is not read any further
)

// protocol takes the bytes of a connection, appends answers, and says how many bytes it used; -1 ends the connection.
type protocol func(s *server, c *conn, data []byte) int

// conn is one connection.
type conn struct {
	fd       int
	speak    protocol
	rest     []byte // the beginning of a message that is not complete
	out      []byte // answers that the kernel has not taken
	held     []byte // answers that wait for the end of the stall
	upgraded bool
	events   uint32
}

// server is everything there is.
type server struct {
	epoll     int
	listeners map[int]protocol
	conns     map[int]*conn
	buffer    []byte
	seq       uint64
	answered  uint64
	epochMs   []byte // wall clock of this round, as REST answers carry it
	stall     stall
	started   time.Time
	monotonic int64 // CLOCK_MONOTONIC at `started`
}

func newServer(st stall) *server {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		fail(err)
	}
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return &server{
		epoll: epoll, listeners: make(map[int]protocol), conns: make(map[int]*conn), buffer: make([]byte, 2*readSize),
		stall: st, started: time.Now(), monotonic: now.Nano(),
	}
}

// now is CLOCK_MONOTONIC.
func (s *server) now() int64 { return s.monotonic + int64(time.Since(s.started)) }

// listen opens a loopback port of the kernel's choice.
func (s *server) listen(speak protocol) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(fd, 4096); err != nil {
		return 0, os.NewSyscallError("listen", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	s.listeners[fd] = speak
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	return name.(*syscall.SockaddrInet4).Port, syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &event)
}

// serve answers until something breaks.
func (s *server) serve() error {
	events := make([]syscall.EpollEvent, 512)
	for {
		ready, err := syscall.EpollWait(s.epoll, events, s.stall.waitMs(s.now()))
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		s.epochMs = appendUint(s.epochMs[:0], uint64(time.Now().UnixMilli()))
		for _, event := range events[:max(ready, 0)] {
			s.turn()
			fd := int(event.Fd)
			if speak, ok := s.listeners[fd]; ok {
				s.accept(fd, speak)
			} else if c := s.conns[fd]; c != nil {
				s.serveConn(c, event.Events)
			}
		}
		s.turn()
	}
}

// turn begins and ends the stall when its time has come.
func (s *server) turn() {
	if s.stall.turn(s.now()) {
		for _, c := range s.conns {
			c.out, c.held = append(c.out, c.held...), nil
			s.flush(c)
		}
	}
}

func (s *server) accept(listener int, speak protocol) {
	for {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		c := &conn{fd: fd, speak: speak, events: syscall.EPOLLIN}
		s.conns[fd] = c
		event := syscall.EpollEvent{Events: c.events, Fd: int32(fd)}
		if syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &event) != nil {
			s.close(c)
		}
	}
}

func (s *server) serveConn(c *conn, events uint32) {
	if events&syscall.EPOLLOUT != 0 && !s.flush(c) {
		return
	}
	if events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) == 0 || len(c.out) > unread {
		return
	}
	have := copy(s.buffer, c.rest)
	n, errno := transfer(syscall.SYS_READ, c.fd, s.buffer[have:])
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	if errno != 0 || n == 0 || have+n == len(s.buffer) {
		s.close(c) // gone, or a message without end
		return
	}
	used := c.speak(s, c, s.buffer[:have+n])
	if used < 0 {
		s.close(c)
		return
	}
	c.rest = append(c.rest[:0], s.buffer[used:have+n]...)
	s.flush(c)
}

// orders is where the answers to orders go now.
func (s *server) orders(c *conn) *[]byte {
	if s.stall.on {
		return &c.held
	}
	return &c.out
}

// count takes one order into account and returns its sequence number.
func (s *server) count() uint64 {
	if s.answered == 0 {
		s.stall.first = s.now()
	}
	s.answered++
	s.seq++
	return s.seq
}

// flush writes what the kernel takes; false when the connection is gone.
func (s *server) flush(c *conn) bool {
	sent := 0
	for sent < len(c.out) {
		n, errno := transfer(syscall.SYS_WRITE, c.fd, c.out[sent:])
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 && errno != syscall.EINTR {
			s.close(c)
			return false
		}
		sent += n
	}
	if sent > 0 {
		c.out = c.out[:copy(c.out, c.out[sent:])]
	}
	wanted := uint32(0)
	if len(c.out) <= unread {
		wanted |= syscall.EPOLLIN
	}
	if len(c.out) > 0 {
		wanted |= syscall.EPOLLOUT
	}
	if wanted != c.events {
		c.events = wanted
		event := syscall.EpollEvent{Events: wanted, Fd: int32(c.fd)}
		_ = syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_MOD, c.fd, &event)
	}
	return true
}

func (s *server) close(c *conn) {
	delete(s.conns, c.fd)
	_ = syscall.Close(c.fd)
}

// transfer is one read or write that does not block: the scheduler of Go need not know of it.
func transfer(call uintptr, fd int, data []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
