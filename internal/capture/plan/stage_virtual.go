package plan

// isVirtual holds for packets of machines nested in the pod.
func (b *builder) isVirtual() Cond {
	set := b.set(Set{Name: "virtual_ifaces", Kind: KindInterface, Names: b.plan.Out.Virtual})
	return Cond{Field: FieldInIface, Set: set}
}

// fromVirtual sends what nested machines send to the stages of what leaves.
func (b *builder) fromVirtual() {
	if len(b.plan.Out.Virtual) > 0 {
		b.rule(StageExempt, "virtual", "-k, kubevirtInterfaces", Action{Kind: DoGoto, Chain: chainVirtual}, b.isVirtual())
	}
}

// virtual is what leaves goes through, from stage bypass on: so excludes hold for nested machines too.
func (b *builder) virtual() {
	if len(b.plan.Out.Virtual) == 0 {
		return
	}
	b.open(Chain{Name: chainVirtual, Hook: Prerouting})
	b.prefix, b.nested = "virtual_", true
	b.bypass()
	b.capture()
	b.prefix, b.nested = "", false
}

// local says that a bypass asks for what only packets made here have.
func (by Bypass) local() bool { return len(by.Interfaces)+len(by.UIDs)+len(by.GIDs) > 0 }
