package h2

import (
	"errors"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// pipe is the smallest proxy: each request goes on over a connection that next gives.
func pipe(next func() *Client) Handler {
	return func(down *ServerStream) {
		x := &stream.Exchange{}
		down.Head(x)
		up := open(next, x)
		if up == nil {
			down.Reset(codec.RefusedStream)
			return
		}
		defer up.Close()
		down.OnGone(up.Interrupt)
		var request sync.WaitGroup
		defer request.Wait()
		if err := up.WriteHead(&x.Request, !x.Request.HasBody); err != nil {
			down.Reset(codec.RefusedStream)
			return
		}
		if x.Request.HasBody {
			request.Go(func() { _ = carry(up, down, &x.RequestTrailers) })
		}
		if err := answer(down, up, x); err != nil {
			down.Reset(reasonOf(err))
		}
		down.Interrupt() // what is left of the request isn't wanted
		up.Interrupt()
	}
}

func open(next func() *Client, x *stream.Exchange) *ClientStream {
	for range 3 { // a connection may be told to go away just now
		if c := next(); c != nil {
			if s := c.Stream(x); s != nil {
				return s
			}
		}
	}
	return nil
}

func answer(down *ServerStream, up *ClientStream, x *stream.Exchange) error {
	for {
		end, err := up.ReadHead(&x.Response)
		if err == nil {
			err = down.WriteHead(&x.Response, end)
		}
		switch {
		case err != nil || end:
			return err
		case x.Response.Status >= 200:
			return carry(down, up, &x.ResponseTrailers)
		}
	}
}

func carry(to codec.Writer, from codec.Reader, trailers *stream.Fields) error {
	for {
		if !from.Ready() {
			if err := to.Flush(); err != nil {
				return err
			}
		}
		p, end, err := from.ReadBody()
		if err != nil {
			return err
		}
		if end && trailers.Len() > 0 {
			if err := to.WriteBody(p, false); err != nil {
				return err
			}
			return to.WriteTrailers(trailers)
		}
		if err := to.WriteBody(p, end); err != nil || end {
			return err
		}
	}
}

func reasonOf(err error) codec.Reason {
	var f *codec.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return codec.Termination
}

// proxyTo runs pipe before addr, over connections that are made anew when the last one may no longer be used.
func proxyTo(t testing.TB, addr string, o Options) string {
	var mu sync.Mutex
	var clients []*Client
	next := func() *Client {
		mu.Lock()
		defer mu.Unlock()
		if n := len(clients); n > 0 && clients[n-1].Usable() {
			return clients[n-1]
		}
		clients = append(clients, dial(t, addr, o))
		return clients[len(clients)-1]
	}
	return serve(t, o, pipe(next))
}
