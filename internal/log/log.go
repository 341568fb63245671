// Package log builds the one logger a process has: zap behind logr. Messages are constants, facts are key/values, and
// a request's or connection's facts travel in the logger of its context. It is a leaf.
package log

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options are the logging flags of a process.
type Options struct {
	Level  string // debug, info, warning, error, off; zap's "warn" and Istio's "critical" are accepted
	Format string // json or text
}

// Levels and Formats are what Options accept, for help texts and errors.
var (
	Levels  = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}
	Formats = []string{"json", "text"}
)

// ParseLevel turns a level name of Istio, Envoy or zap into zap's.
func ParseLevel(name string) (zapcore.Level, error) {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return zapcore.DebugLevel, nil
	case "", "info":
		return zapcore.InfoLevel, nil
	case "warning", "warn":
		return zapcore.WarnLevel, nil
	case "error":
		return zapcore.ErrorLevel, nil
	case "critical", "fatal":
		return zapcore.DPanicLevel, nil
	case "off", "none":
		return zapcore.FatalLevel, nil
	}
	return 0, fmt.Errorf("log level %q is unknown; want one of %s", name, strings.Join(Levels, ", "))
}

// New returns a logger writing to w. V(0) is info, V(1) and above are debug.
func New(w io.Writer, o Options) (logr.Logger, error) {
	level, err := ParseLevel(o.Level)
	if err != nil {
		return logr.Logger{}, err
	}
	core, err := newCore(w, o.Format, level)
	if err != nil {
		return logr.Logger{}, err
	}
	return zapr.NewLogger(zap.New(core)), nil
}

func newCore(w io.Writer, format string, level zapcore.LevelEnabler) (zapcore.Core, error) {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	config.EncodeLevel = encodeLevel
	var encoder zapcore.Encoder
	switch format {
	case "", "json":
		encoder = zapcore.NewJSONEncoder(config)
	case "text":
		encoder = zapcore.NewConsoleEncoder(config)
	default:
		return nil, fmt.Errorf("log format %q is unknown; want one of %s", format, strings.Join(Formats, ", "))
	}
	return zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level), nil
}

// encodeLevel names what lies below debug; zap has no word for it.
func encodeLevel(level zapcore.Level, to zapcore.PrimitiveArrayEncoder) {
	if level < zapcore.DebugLevel {
		to.AppendString("trace")
		return
	}
	zapcore.LowercaseLevelEncoder(level, to)
}
