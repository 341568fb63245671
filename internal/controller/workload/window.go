package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// weekdays are the API's names, in the order of time.Weekday.
var weekdays = [...]v1alpha1.Weekday{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// inWindow says whether pods may be evicted now: without windows at any time. What counts is what a clock on the wall
// shows: a window within an hour that is left out in spring doesn't come that day, one within an hour that comes twice
// in autumn is open twice. An error is of a window that can't be read, which is never open.
func inWindow(windows []v1alpha1.MaintenanceWindow, now time.Time) (bool, error) {
	var fault error
	for i := range windows {
		open, err := isOpen(&windows[i], now)
		if open {
			return true, nil
		}
		if err != nil {
			fault = fmt.Errorf("spec.workload.maintenanceWindows[%d]: %w", i, err)
		}
	}
	return len(windows) == 0, fault
}

func isOpen(w *v1alpha1.MaintenanceWindow, now time.Time) (bool, error) {
	zone, err := time.LoadLocation(w.TimeZone) // "" is UTC
	if err != nil {
		return false, fmt.Errorf("time zone %q: want a name such as Europe/Berlin or UTC: %w", w.TimeZone, err)
	}
	start, end, err := minutes(w)
	if err != nil {
		return false, err
	}
	local := now.In(zone)
	minute, today := local.Hour()*60+local.Minute(), local.Weekday()
	yesterday := (today + 6) % 7
	if start < end {
		return begins(w, today) && start <= minute && minute < end, nil
	}
	return begins(w, today) && start <= minute || begins(w, yesterday) && minute < end, nil
}

// minutes are start and end as minutes of the day.
func minutes(w *v1alpha1.MaintenanceWindow) (start, end int, err error) {
	for _, clock := range []struct {
		text   string
		minute *int
	}{{w.Start, &start}, {w.End, &end}} {
		t, err := time.Parse("15:04", clock.text)
		if err != nil {
			return 0, 0, fmt.Errorf("%q: want HH:MM", clock.text)
		}
		*clock.minute = t.Hour()*60 + t.Minute()
	}
	return start, end, nil
}

// begins says whether the window has one that begins on that day.
func begins(w *v1alpha1.MaintenanceWindow, day time.Weekday) bool {
	return len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day])
}
