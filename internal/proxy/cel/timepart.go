package cel

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeParts are what is asked of a time, all but the day of getDate counted from 0, as JavaScript does.
var timeParts = map[string]func(time.Time) int{
	"getFullYear": time.Time.Year, "getMonth": func(t time.Time) int { return int(t.Month()) - 1 }, "getDate": time.Time.Day,
	"getDayOfMonth": func(t time.Time) int { return t.Day() - 1 }, "getDayOfWeek": func(t time.Time) int { return int(t.Weekday()) },
	"getDayOfYear": func(t time.Time) int { return t.YearDay() - 1 }, "getHours": time.Time.Hour, "getMinutes": time.Time.Minute,
	"getSeconds": time.Time.Second, "getMilliseconds": func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) },
}

// durationParts are what is asked of a duration: all of it in this unit.
var durationParts = map[string]time.Duration{
	"getHours": time.Hour, "getMinutes": time.Minute, "getSeconds": time.Second, "getMilliseconds": time.Millisecond,
}

// timePart is of the zone that is the argument, or of UTC.
func (p *parser) timePart(of node, name token, args []node) node {
	zone, unit, part := time.UTC, durationParts[name.text], timeParts[name.text]
	if len(args) > 0 {
		p.count(name, args, 1)
		unit = 0
		if args[0].fixed == nil || args[0].fixed.kind != stringKind {
			p.fail(args[0].at, "a time zone that is no literal is not supported")
		}
		var err error
		if zone, err = location(args[0].fixed.str); err != nil {
			p.fail(args[0].at, "%s", err)
		}
	}
	return apply1(func(_ *frame, v value) value {
		switch {
		case v.kind == timeKind:
			return intValue(int64(part(v.time().In(zone))))
		case v.kind == durationKind && unit > 0:
			return intValue(int64(v.duration() / unit))
		}
		return errKind
	}, of)
}

// location is a zone by its name, where the machine knows it, or by how far it is from UTC: `+01:30`.
func location(name string) (*time.Location, error) {
	hours, minutes, is := strings.Cut(strings.TrimLeft(name, "+-"), ":")
	if !is {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, fmt.Errorf("the time zone %q is unknown here", name)
		}
		return zone, nil
	}
	h, err := strconv.ParseUint(hours, 10, 8)
	m, err2 := strconv.ParseUint(minutes, 10, 8)
	if err != nil || err2 != nil || h > 14 || m > 59 || len(hours) != 2 || len(minutes) != 2 || len(name) > len("+00:00") {
		return nil, fmt.Errorf("the time zone %q is not like +01:30", name)
	}
	seconds := int(h*3600 + m*60)
	if name[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), nil
}
