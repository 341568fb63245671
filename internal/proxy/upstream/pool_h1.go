package upstream

// PoolH1 is where a host's idle HTTP/1.1 connections are kept.
type PoolH1 struct{}

// closeIdle closes the idle connections of a host that is gone.
func (p *PoolH1) closeIdle() {}
