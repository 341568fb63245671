package workload

import (
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func TestWindows(t *testing.T) {
	type windows = []v1alpha1.MaintenanceWindow
	night := v1alpha1.MaintenanceWindow{Start: "22:00", End: "04:00"}
	fridayNight := v1alpha1.MaintenanceWindow{Days: []v1alpha1.Weekday{"Fri"}, Start: "22:00", End: "04:00", TimeZone: "Europe/Berlin"}
	sunday := func(start, end string) windows {
		return windows{{Days: []v1alpha1.Weekday{"Sun"}, Start: start, End: end, TimeZone: "Europe/Berlin"}}
	}
	for _, c := range []struct {
		name    string
		windows windows
		now     string // UTC
		open    bool
	}{
		{"none: at any time", nil, "2026-03-27T12:00:00Z", true},
		{"before it", windows{{Start: "02:00", End: "05:00"}}, "2026-03-27T01:59:59Z", false},
		{"at its start", windows{{Start: "02:00", End: "05:00"}}, "2026-03-27T02:00:00Z", true},
		{"in its last minute", windows{{Start: "02:00", End: "05:00"}}, "2026-03-27T04:59:59Z", true},
		{"at its end", windows{{Start: "02:00", End: "05:00"}}, "2026-03-27T05:00:00Z", false},
		{"the second one", windows{{Start: "02:00", End: "05:00"}, {Start: "12:00", End: "13:00"}}, "2026-03-27T12:30:00Z", true},
		{"across midnight, before", windows{night}, "2026-03-27T23:00:00Z", true},
		{"across midnight, after", windows{night}, "2026-03-28T03:59:00Z", true},
		{"across midnight, over", windows{night}, "2026-03-28T04:00:00Z", false},
		{"a whole day", windows{{Start: "06:00", End: "06:00"}}, "2026-03-27T05:59:00Z", true},
		{"a whole day once a week, its start", windows{{Days: []v1alpha1.Weekday{"Fri"}, Start: "06:00", End: "06:00"}}, "2026-03-27T06:00:00Z", true},
		{"a whole day once a week, its end", windows{{Days: []v1alpha1.Weekday{"Fri"}, Start: "06:00", End: "06:00"}}, "2026-03-28T06:00:00Z", false},
		{"Friday in Berlin is 21:00 UTC", windows{fridayNight}, "2026-03-27T21:00:00Z", true},
		{"Saturday's early hours are Friday's window", windows{fridayNight}, "2026-03-28T02:59:00Z", true},
		{"Friday's early hours are Thursday's, which there is none", windows{fridayNight}, "2026-03-27T02:00:00Z", false},
		{"Saturday evening", windows{fridayNight}, "2026-03-28T21:30:00Z", false},
		{"Saturday in Auckland is still Friday in UTC", windows{{Days: []v1alpha1.Weekday{"Sat"}, Start: "01:00", End: "02:00", TimeZone: "Pacific/Auckland"}}, "2026-03-27T12:30:00Z", true},
		{"summer time", windows{{Start: "02:00", End: "05:00", TimeZone: "Europe/Berlin"}}, "2026-07-01T00:30:00Z", true},
		{"winter time", windows{{Start: "02:00", End: "05:00", TimeZone: "Europe/Berlin"}}, "2026-01-01T00:30:00Z", false},
		{"clocks put forward over it: not that day", sunday("02:15", "02:45"), "2026-03-29T01:15:00Z", false},
		{"clocks put forward into it", sunday("02:15", "03:30"), "2026-03-29T01:15:00Z", true},
		{"clocks put back: the first time", sunday("02:00", "03:00"), "2026-10-25T00:30:00Z", true},
		{"clocks put back: the second time", sunday("02:00", "03:00"), "2026-10-25T01:30:00Z", true},
		{"clocks put back: over", sunday("02:00", "03:00"), "2026-10-25T02:00:00Z", false},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if open, err := inWindow(c.windows, now); open != c.open || err != nil {
			t.Errorf("%s: at %s open is %t (%v), want %t", c.name, c.now, open, err, c.open)
		}
	}
}

func TestWindowThatCannotBeReadStaysShut(t *testing.T) {
	for _, w := range []v1alpha1.MaintenanceWindow{
		{Start: "00:00", End: "00:00", TimeZone: "Mars/Base"}, {Start: "", End: "05:00"}, {Start: "02:00", End: "25:00"},
	} {
		if open, err := inWindow([]v1alpha1.MaintenanceWindow{w}, time.Unix(0, 0)); open || err == nil {
			t.Errorf("%+v: open is %t, error %v", w, open, err)
		}
	}
}
