package stream

import "testing"

func TestFlags(t *testing.T) {
	for f, want := range map[Flags][2]string{
		0:                         {"-", "-"},
		UpstreamConnectionFailure: {"UF", "UpstreamConnectionFailure"},
		UpstreamConnectionFailure | UpstreamRetryLimitExceeded: {"UF,URX", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded"},
		DropOverload: {"DO", "DropOverload"},
	} {
		if f.String() != want[0] || f.Long() != want[1] {
			t.Errorf("%d: %s and %s, want %v", f, f, f.Long(), want)
		}
	}
	for i, names := range flagNames {
		if names[0] == "" || names[1] == "" || FlagNamed(names[0]) != 1<<i {
			t.Errorf("flag %d: %q", i, names)
		}
	}
	if f := FlagNamed("none"); f != 0 {
		t.Errorf("an unknown name is %s", f)
	}
}
