package plan

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
)

// reflected is a Plan without its method: encoding/json writes what the tags say.
type reflected Plan

func TestPlanIsWrittenAsItsTagsSay(t *testing.T) {
	full := &Plan{}
	fill(t, reflect.ValueOf(full).Elem(), "Plan")
	empty := &Plan{
		Proxy: Identity{UIDs: []uint32{}, GIDs: []uint32{}}, Out: Outbound{Owners: Owners{Groups: []uint32{}}},
		DNS: DNS{Servers: []netip.Addr{}}, Bypass: []Bypass{{}}, First: Contents{In: []netip.AddrPort{}},
	}
	plans := []*Plan{full, empty, {}}
	for _, line := range []string{"-i * -b *", "--mode listed --pod-ips 10.0.0.7,fd00::7 --listed-inbound 10.0.0.7:80", "-m TPROXY -b * -i * -x 10.0.0.0/8 -o 22-25 -c eth1 -k vm0"} {
		plans = append(plans, mustPlan(t, line, dual()))
	}
	for i, p := range plans {
		want, err := json.Marshal((*reflected)(p))
		if err != nil {
			t.Fatal(err)
		}
		if have, _ := p.MarshalJSON(); string(have) != string(want) {
			t.Errorf("plan %d:\n%s\nwant\n%s", i, have, want)
		}
	}
}

// fill gives every field a value that JSON doesn't leave out, lists two elements, and texts what must be quoted.
func fill(t *testing.T, v reflect.Value, where string) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("fd00::7")))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("[fd00::7]:80")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
		return
	case Element:
		v.Set(reflect.ValueOf(Element{Proto: TCP}))
		return
	case Given:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), where+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), where)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), where)
		fill(t, v.Index(1), where)
	case reflect.String:
		v.SetString("a \"quoted\" <b> & \\ \t é \xff")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(200)
	default:
		t.Fatalf("%s is a %s: teach this test and MarshalJSON", where, v.Kind())
	}
}
