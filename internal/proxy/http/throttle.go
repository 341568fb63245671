package http

import (
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// slices is in how many writes a second's worth of a throttled answer leaves.
const slices = 20

// errCut is a throttled answer's end when its call is cut while it waits.
var errCut = errors.New("the call was cut")

// writeThrottled writes a piece of an answer's body no faster than its client may get it.
func (c *call) writeThrottled(t *stream.Throttle, piece []byte, end bool) error {
	most := int(max(1, min(t.Rate/slices, 1<<20)))
	for len(piece) > most {
		if err := c.await(t, most); err != nil {
			return err
		}
		if err := c.down.WriteBody(piece[:most], false); err != nil {
			return err
		}
		piece = piece[most:]
	}
	if err := c.await(t, len(piece)); err != nil {
		return err
	}
	return c.writePiece(piece, end)
}

// await waits until n bytes more may go; what was written before goes meanwhile.
func (c *call) await(t *stream.Throttle, n int) error {
	now := time.Since(c.x.Start)
	if t.Next > now {
		if err := c.down.Flush(); err != nil {
			return err
		}
		c.sleep(t.Next - now)
		if c.timers.causes.Load() != 0 {
			return errCut
		}
		c.moved() // the stream isn't idle: it is we who are slow
	}
	t.Next = max(t.Next, now) + time.Duration(float64(n)/float64(t.Rate)*float64(time.Second))
	return nil
}
