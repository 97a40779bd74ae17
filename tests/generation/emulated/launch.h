static Frame launched;
static void thread() {
    frame(launched);
    running->done = true;
    others();
}

static __attribute__((noinline)) void resume(Fiber* fiber) {
    running = fiber;
    if (_setjmp(outside)) return;
    if (fiber->started) _longjmp(fiber->at, 1);
    fiber->started = true;
    setcontext(&fiber->context);
}

extern "C" void launch(const Frame* f, int programs, int count, int shared) {
    launched = *f, grid.x = programs, threads.x = count;
    const size_t stack = 1 << 17;
    std::vector<Fiber*> all;
    for (int b = 0; b < programs; b++) {
        Block* block = new Block();
        block->shared = (u8*)aligned_alloc(128, (shared + 127) / 128 * 128);
        memset(block->shared, 0xff, shared);
        for (int t = 0; t < count; t++) {
            Fiber* fiber = new Fiber();
            fiber->thread.x = t, fiber->block.x = b, fiber->in = block;
            fiber->warp = t % 32 ? all.back()->warp : new Warp();
            getcontext(&fiber->context);
            fiber->context.uc_stack.ss_sp = malloc(stack), fiber->context.uc_stack.ss_size = stack;
            makecontext(&fiber->context, thread, 0);
            all.push_back(fiber);
        }
    }
    for (bool any = true; any;) {
        any = false;
        for (Fiber* fiber : all)
            if (!fiber->done) {
                any = true;
                if (!fiber->turn || *fiber->turn != fiber->old) resume(fiber);
            }
    }
    for (size_t i = 0; i < all.size(); i++) {
        if (i % count == 0) free(all[i]->in->shared), delete all[i]->in;
        if (i % 32 == 0) delete all[i]->warp;
        free(all[i]->context.uc_stack.ss_sp), delete all[i];
    }
}
