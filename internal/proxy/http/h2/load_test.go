package h2

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// TestDrainUnderLoad: a server that drains each connection soon after it came loses no call of grpc-go's client.
func TestDrainUnderLoad(t *testing.T) {
	backend, _ := grpcServer(t)
	up := dial(t, backend, Options{})
	l := sockettest.Listen(t)
	var all sync.WaitGroup
	drained := 0
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s := NewServer(nc, Options{}, pipe(func() *Client { return up }))
			all.Go(func() { _ = s.Serve() })
			time.AfterFunc(10*time.Millisecond, s.Drain)
			drained++
		}
	})
	c := grpcClient(t, l.Addr().String())
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for range 200 {
				s := call(deadline(t), t, c, "Unary")
				var got message0
				if err := errors.Join(s.SendMsg(&message0{Value: []byte("x")}), s.CloseSend(), s.RecvMsg(&got)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	_ = c.Close()
	_ = l.Close()
	all.Wait()
	t.Logf("%d connections for 800 calls", drained)
}

// BenchmarkIdleConnection reports the memory of a connection that has carried a request and waits, with its goroutine.
func BenchmarkIdleConnection(b *testing.B) {
	addr := serve(b, Options{}, hello)
	before := inUse()
	peers := make([]net.Conn, min(b.N, 1000)) // there are only so many descriptors
	for i := range peers {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		peers[i] = nc
		out := appendSettings([]byte(preface))
		block := []byte{0x82, 0x86, 0x84, 0x41, 1, 'a', 0x40, 1, 'x', 1, 'y'}
		out = append(appendFrame(out, len(block), frameHeaders, flagEndHeaders|flagEndStream, 1), block...)
		_, _ = nc.Write(out)
		in, have := make([]byte, 4096), 0
		for !ended(in[:have]) {
			n, err := nc.Read(in[have:])
			if err != nil {
				b.Fatal(err)
			}
			have += n
		}
	}
	b.ReportMetric(float64(inUse()-before)/float64(len(peers)), "B/connection")
}

// ended reports whether p has the end of a stream.
func ended(p []byte) bool {
	for len(p) >= headerLen {
		h := parseHeader(p)
		if h.kind == frameData && h.has(flagEndStream) {
			return true
		}
		p = p[min(len(p), headerLen+h.length):]
	}
	return false
}

func inUse() uint64 {
	for range 3 { // sync.Pool keeps what is in it for a cycle or two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
