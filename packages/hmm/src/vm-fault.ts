/** No memory (VM_FAULT_OOM). */
export const VM_FAULT_OOM = 0x1;
/** The access can never succeed (VM_FAULT_SIGBUS). */
export const VM_FAULT_SIGBUS = 0x2;
/** The access is not allowed (VM_FAULT_SIGSEGV). */
export const VM_FAULT_SIGSEGV = 0x40;
