package h2

import "time"

// guard counts what a peer sends that costs us more than it, over a connection's life. Its limits are fixed: no honest
// peer comes near them. Callers hold the connection's mu.
type guard struct {
	opened     uint64 // streams
	closed     uint64
	early      uint64 // reset by the peer within earlyTime of their opening
	priorities uint64
	updates    uint64 // WINDOW_UPDATE
	empty      int    // frames in a row without payload that end nothing
}

const (
	resetsMin        = 500 // streams closed before the share of resets is looked at
	earlyTime        = time.Second
	emptyMax         = 1
	prioritiesStream = 100
	blockFrames      = 16   // HEADERS and CONTINUATION of one block
	answersMax       = 1000 // PING and SETTINGS acknowledgements and RST_STREAM in the queue
	queuedMax        = 10000
)

func (g *guard) priority() error {
	g.priorities++
	if g.priorities > prioritiesStream*(1+g.opened) {
		return flood("PRIORITY")
	}
	return nil
}

// windowUpdate allows for what data frames sent justify.
func (g *guard) windowUpdate(dataFrames uint64) error {
	g.updates++
	if g.updates > 5+2*(g.opened+10*dataFrames) {
		return flood("WINDOW_UPDATE")
	}
	return nil
}

// payload counts frames that carry nothing and end nothing.
func (g *guard) payload(n int, end bool) error {
	if n > 0 || end {
		g.empty = 0
		return nil
	}
	if g.empty++; g.empty > emptyMax {
		return flood("empty frames")
	}
	return nil
}

// reset counts a stream the peer reset. One that opens streams to reset them makes us work for nothing
// (CVE-2023-44487).
func (g *guard) reset(opened time.Time) error {
	if time.Since(opened) < earlyTime {
		g.early++
	}
	if g.closed >= resetsMin && g.early*2 > g.closed {
		return flood("streams are opened to be reset")
	}
	return nil
}
