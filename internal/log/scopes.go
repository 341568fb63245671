package log

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Scopes are the levels of a logger's scopes, which can be changed while it is used. A scope is the first part of a
// logger's name (WithName); what has no scope of its own logs as the scope Misc.
type Scopes struct {
	names  []string
	levels map[string]*atomic.Pointer[scopeLevel]
	lowest atomic.Int32 // of all levels: what is below needs no look at its scope
}

// Misc is the scope of everything without one of its own.
const Misc = "misc"

// scopeLevel is a level and how it is called.
type scopeLevel struct {
	name string
	min  zapcore.Level
}

// everything is the level of trace: V(2) and above, too.
const everything = zapcore.Level(-100)

var scopeLevels = map[string]scopeLevel{
	"trace": {"trace", everything}, "debug": {"debug", zapcore.DebugLevel}, "info": {"info", zapcore.InfoLevel},
	"warning": {"warning", zapcore.WarnLevel}, "warn": {"warning", zapcore.WarnLevel}, "error": {"error", zapcore.ErrorLevel},
	"critical": {"critical", zapcore.DPanicLevel}, "fatal": {"critical", zapcore.DPanicLevel},
	"off": {"off", zapcore.FatalLevel}, "none": {"off", zapcore.FatalLevel},
}

// NewScoped returns a logger writing to w and the levels of its scopes, which all start with the one of o.
func NewScoped(w io.Writer, o Options, names []string) (logr.Logger, *Scopes, error) {
	if o.Level == "" {
		o.Level = "info"
	}
	s := &Scopes{levels: map[string]*atomic.Pointer[scopeLevel]{}}
	for _, name := range append([]string{Misc}, names...) {
		if s.levels[name] == nil {
			s.levels[name] = &atomic.Pointer[scopeLevel]{}
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	if err := s.Set("", o.Level); err != nil {
		return logr.Logger{}, nil, err
	}
	core, err := newCore(w, o.Format, everything)
	if err != nil {
		return logr.Logger{}, nil, err
	}
	return zapr.NewLogger(zap.New(&scopedCore{core, s})), s, nil
}

// Each calls yield for each scope by the order of names.
func (s *Scopes) Each(yield func(name, level string)) {
	for _, name := range s.names {
		yield(name, s.levels[name].Load().name)
	}
}

// Check says whether Set would fail.
func (s *Scopes) Check(scope, level string) error {
	if _, ok := scopeLevels[strings.ToLower(level)]; !ok {
		return fmt.Errorf("unknown logger level %s; want one of %s", level, strings.Join(Levels, ", "))
	}
	if scope != "" && s.levels[scope] == nil {
		return fmt.Errorf("unknown logger name %s", scope)
	}
	return nil
}

// Set sets the level of a scope, or of all for "".
func (s *Scopes) Set(scope, level string) error {
	if err := s.Check(scope, level); err != nil {
		return err
	}
	to := scopeLevels[strings.ToLower(level)]
	lowest := int32(zapcore.FatalLevel)
	for name, at := range s.levels {
		if scope == "" || name == scope {
			at.Store(&to)
		}
		lowest = min(lowest, int32(at.Load().min))
	}
	s.lowest.Store(lowest)
	return nil
}

// minimum is the level of the scope a logger's name begins with.
func (s *Scopes) minimum(logger string) zapcore.Level {
	scope, _, _ := strings.Cut(logger, ".")
	at := s.levels[scope]
	if at == nil {
		at = s.levels[Misc]
	}
	return at.Load().min
}

// scopedCore asks the scope of each entry for its level.
type scopedCore struct {
	zapcore.Core
	scopes *Scopes
}

// Enabled can't know the logger's name yet; Check does.
func (c *scopedCore) Enabled(level zapcore.Level) bool { return int32(level) >= c.scopes.lowest.Load() }

func (c *scopedCore) With(fields []zapcore.Field) zapcore.Core {
	return &scopedCore{c.Core.With(fields), c.scopes}
}

func (c *scopedCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Level < c.scopes.minimum(e.LoggerName) {
		return checked
	}
	return checked.AddCore(e, c.Core)
}
