package route

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// valuer makes a text out of an exchange.
type valuer interface {
	Append(buf []byte, x *stream.Exchange) []byte
}

func compileValue(*config.Format) valuer { return nil }
